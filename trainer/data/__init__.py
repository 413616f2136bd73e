"""Files of rows into what the stages train on."""
