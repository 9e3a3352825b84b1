"""Classification of long sequences, one value or byte a step: pixels in a row, letters of a text."""
