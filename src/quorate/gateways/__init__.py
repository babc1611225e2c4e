"""The languages of other people, translated to ours; knows nothing of consensus."""
