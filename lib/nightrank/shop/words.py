"""The words of the shop: brands, categories with their nouns and usual prices, and what titles and searches say."""

from __future__ import annotations

BRANDS = (
    "Alder", "Bramley", "Corvid", "Dunmore", "Elmsworth", "Fennick", "Garrow", "Hollins", "Isarn", "Juniper & Co",
    "Kestrel", "Lumen", "Marlowe", "Norvik", "Oakhaven", "Pellier",
)  # fmt: skip

# Category -> leaf nouns (singular, plural, usual price).
CATEGORIES: dict[str, tuple[tuple[str, str, float], ...]] = {
    "Kitchen": (("kettle", "kettles", 35.0), ("saucepan", "saucepans", 28.0), ("mug", "mugs", 9.0)),
    "Bedroom": (("blanket", "blankets", 40.0), ("pillow", "pillows", 22.0), ("wardrobe", "wardrobes", 240.0)),
    "Garden": (("planter", "planters", 18.0), ("hammock", "hammocks", 65.0), ("lantern", "lanterns", 15.0)),
    "Office": (("notebook", "notebooks", 7.0), ("desk", "desks", 180.0), ("backpack", "backpacks", 55.0)),
    "Clothing": (("jacket", "jackets", 90.0), ("scarf", "scarves", 20.0), ("jumper", "jumpers", 45.0)),
    "Toys": (("puzzle", "puzzles", 14.0), ("kite", "kites", 16.0), ("teddy bear", "teddy bears", 19.0)),
    "Lighting": (("lamp", "lamps", 48.0), ("chandelier", "chandeliers", 150.0), ("candle", "candles", 11.0)),
    "Sports": (("yoga mat", "yoga mats", 30.0), ("bicycle", "bicycles", 420.0), ("tent", "tents", 130.0)),
}
LOOKS = (
    "rustic", "minimal", "vintage", "modern", "floral", "striped", "classic", "colourful", "elegant", "playful",
    "nordic", "coastal",
)  # fmt: skip
MAKINGS = (
    "handmade", "recycled", "lightweight", "folding", "soft", "waterproof", "compact", "sturdy", "organic", "padded",
    "woven", "polished",
)  # fmt: skip
WORDS = LOOKS + MAKINGS
PRICE_BANDS = ("low", "middle", "high")
SELLERS = tuple(
    f"{name} Trading" for name in ("Amber", "Birch", "Cobalt", "Delta", "Ember", "Flint", "Grove", "Harbour")
)
COLOURS = ("black", "white", "green", "blue", "red", "yellow", "grey", "brown")

# What an exploratory search says -> the sentence in the description of the items that it finds.
OCCASIONS = {
    "gift": "Makes a good gift.",
    "new in": "New in this season.",
    "sale": "Part of our sale.",
    "birthday": "A birthday favourite.",
    "ideas for the home": "One of our ideas for the home.",
    "staff picks": "One of our staff picks.",
    "weekend": "Made for the weekend.",
    "bestsellers": "Among our bestsellers.",
}
OPENINGS = (
    "A {look}, {making} {noun} by {brand}, in {colour}.",
    "This {making} {noun} in {colour} has the {look} look that {brand} is known for.",
    "{brand} made this {noun} {look} and {making}. It comes in {colour}.",
)
CLOSINGS = (
    "Easy to look after.",
    "Tested by people who use it daily.",
    "Sent within two days.",
    "With a guarantee of five years.",
)
