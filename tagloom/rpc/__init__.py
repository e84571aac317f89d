"""Server kit: what every Tagloom service needs around its domain code. See README.md."""
