"""Rules for values, said once: readers, validation and the bulk writers check by them and refuse in their words."""
