"""Classification of images, by conversion and training."""
