"""nightrank: every night, one small row of rerank weights a shopper, for the shop's own search engine."""

__version__ = "0.2.0"
