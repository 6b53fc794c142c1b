"""The loop that lists and watches one resource and puts what it sees into a queue or store."""
