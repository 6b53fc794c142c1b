"""The command line: `informer watch`, `serve` and `bench`. Needs the extra `cli`."""
