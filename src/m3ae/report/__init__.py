"""Tables, figures, verdicts and the HTML report, from records alone."""
