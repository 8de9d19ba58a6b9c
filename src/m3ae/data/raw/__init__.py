"""Raw samples, whatever brought them: one stream of samples and rejections in the order of the source."""
