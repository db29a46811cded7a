"""Pure: from evidence to findings and a verdict. Could run next year, on another machine."""
