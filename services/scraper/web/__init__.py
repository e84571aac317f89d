"""Lists of addresses as a source: many hosts at once, each treated with manners."""
