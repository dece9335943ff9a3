"""The Autobahn cases, run by kosoku against the proxy and against this project's own codec."""
