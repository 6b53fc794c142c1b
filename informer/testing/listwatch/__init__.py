"""Lists and watches as the embedded API server serves them: options, selectors, pages and streams."""
