"""Sources of data into training sets, step by step."""
