"""The place of the page on which an operator watches a fleet; nothing is here yet."""
