"""Vector and scalar indexes of Lance tables."""
