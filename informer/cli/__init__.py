"""The command line: `informer watch`, `serve`, `top` and `bench`. Needs the extra `cli`."""
