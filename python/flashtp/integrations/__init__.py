"""Puts this package into message-passing frameworks, without an edit of theirs: one module a framework, see docs/frameworks.md."""
