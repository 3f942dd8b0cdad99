"""The applications on real data, beside what people would use instead."""
