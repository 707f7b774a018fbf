"""Servers, proxies, builders and checkers that tests of several packages share."""
