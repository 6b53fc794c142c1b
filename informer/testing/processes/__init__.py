"""The programs of a real control plane, as child processes on free ports."""
