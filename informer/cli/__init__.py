"""The command line: `informer watch`, `top`, `serve` and `bench`. Needs the extra `cli`."""
