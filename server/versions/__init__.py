"""Policy versions: a version's folder, its weights, the probe that an engine has loaded them."""
