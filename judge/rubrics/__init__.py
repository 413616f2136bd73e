"""The shipped rubrics: a folder of text each, `rubric.yaml` and `prompt.txt`."""
