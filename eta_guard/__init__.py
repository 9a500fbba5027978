"""ETA: evaluate the image and the answer, then align, around a vision-language model."""
