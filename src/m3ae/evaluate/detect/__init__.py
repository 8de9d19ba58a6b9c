"""Out-of-distribution detection beyond Figure 6: statistics of features, many scores, exact metrics."""
