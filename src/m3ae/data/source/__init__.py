"""Where pairs come from: lists `url<TAB>caption`, and the pictures that `tiny` makes itself."""
