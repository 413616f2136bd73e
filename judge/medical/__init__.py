"""What Chinese sentences about illness and drugs mean."""
