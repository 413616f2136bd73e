"""Files in any common format into what the stages train on."""
