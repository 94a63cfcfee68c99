"""Reading image data sets: where they lie, which images and labels they have, and how a file becomes pixels."""
