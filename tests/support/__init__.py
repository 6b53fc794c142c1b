"""Helpers that tests of several folders share: objects, waiting, HTTP servers, forks, certificates, random bytes."""
