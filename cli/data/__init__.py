"""`galen data …`: from any file to clean, safe, reproducible training sets."""

from __future__ import annotations

import typer

app = typer.Typer(help="Prepare, check, convert and look at data.", no_args_is_help=True)
