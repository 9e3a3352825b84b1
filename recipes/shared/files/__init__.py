"""Files of texts and tables, read whole or line by line, with errors that name the file and the line."""
