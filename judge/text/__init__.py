"""What the rules read: a text in plain written form, its sentences, an answer in its parts."""
