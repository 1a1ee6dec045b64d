"""The simulated shop: shoppers with planted tastes, and the raw UBI logs that they leave.

Nothing here knows the product: the logs are read like any shop's, and the truth lies beside them.
"""
