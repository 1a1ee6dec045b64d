"""The world's parameters: committed once, never tuned to the ranker. Utilities are log-odds of a click on a look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class World:
    """How a world differs from the default one.

    taste_strength: factor on every taste; 0: nobody has tastes.
    flip_day: the first day on which all shoppers have other tastes than before; None: only the drifting ones change.
    """

    taste_strength: float = 1.0
    flip_day: date | None = None


# Shoppers. What is left of 1 is regular.
KINDS = ("regular", "indifferent", "new", "drifting", "bot")
KIND_SHARES = (0.65, 0.15, 0.10, 0.10)
NEW_SHOPPERS_SHARE_OF_DAYS = 1 / 6  # new shoppers arrive in the last 5 of 30 days
SHOPPERS_PER_BOT = 250
ACTIVE_SHAPE = (4.0, 1.8)  # beta: mean .69 of the days, from weekly to daily visitors
MORE_SEARCHES = 0.25  # mean searches after the first of a session
BROWSES = 0.6  # mean items looked at without a search, a session
ANONYMOUS_SESSIONS = 0.08
MAIN_DEVICE = 0.85  # share of sessions on a shopper's main device
MOBILE_SHOPPERS = 0.5

# Tastes. The favourite brand speaks loudest, as in real shops; two small traits together outweigh the second brand.
BRAND, SECOND_BRAND, CATEGORY, PRICE_BAND, WORD = 3.0, 1.2, 0.8, 0.9, 1.0
FAVOURITE_CATEGORIES, FAVOURITE_WORDS = 2, 3
QUALITY_SPREAD = 0.5
INTERCEPT = -3.3  # with tastes about 1 of 5 items that are looked at is clicked, and half of the searches have a click
TASTELESS_LIFT = 1.4  # shoppers without tastes click about as often as others: only their order is their own
TARGET, NOT_TARGET = 2.5, -1.5  # a search by name wants that item, whatever the taste

# What follows a click: log-odds (intercept, slope on the utility).
CART, BUY, LIKE, HIDE = (-1.6, 0.5), (-0.3, 0.4), (-4.0, 0.5), (-5.5, -0.5)
MORE_PIECES = 0.15
BROWSE_CHOICE = 40  # items that a browsing shopper passes before taking one
BROWSE_CLICKS = 0.35  # the rest are logged as views

# Position bias: examination = 1 / position ** exponent. A small screen shows fewer items before scrolling.
EXAMINATION_EXPONENT = {"desktop": 0.8, "mobile": 1.2}
DEVICES = ("desktop", "mobile")

# The search engine.
SLATE = 20
CANDIDATES = 300  # items that the first phase of the engine hands to its ranking
QUERY_MIX = {"navigational": 0.15, "category": 0.55, "exploratory": 0.30}
NAVIGATIONAL_QUERIES = 60
FAVOURITE_CATEGORY_SEARCHES = 4.0  # a leaf of a favourite category is searched this many times as often
MATCH, POPULARITY = 4.0, 0.6  # an item with every word of the query beats one with two of three, mostly
POPULARITY_IS_QUALITY = 0.7  # correlation of what the engine takes for popular with what is good
# Two noises, both blind to the shopper: index refreshes (a query, a day) and exploration (a search). Together they are
# as large as popularity, so that a query-item pair is seen at many positions and position bias can be told apart.
DAY_NOISE, SEARCH_NOISE = 0.5, 0.5
SPONSORED_TRIES = 0.21  # some searches match no promoted item, so that about .20 of them carry one
PROMOTED_ITEMS = 0.15
SPONSORED_AFTER = 2  # organic results above the sponsored slot
RECASED_QUERIES = 0.05  # typed with capitals and double blanks

# The catalogue.
PRICE_SPREAD = 0.5
ITEMS_ADDED, ITEMS_REPRICED, OUT_OF_STOCK = 0.03, 0.08, 0.02
OCCASION_SHARE = 0.3

# Bots look at hundreds of items, one to five a second, and never search.
BOT_ACTIVE, BOT_VIEWS = 0.3, 300.0
BOT_PAUSE_MS = (200, 1000)

# Fixed for ever: another size gives other logs. Each bucket of shoppers has draws of its own.
SHOPPERS_PER_BUCKET = 128
