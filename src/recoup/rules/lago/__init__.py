"""Our values in Lago's words: the one place where the two are translated.

Answers of the API and bodies of outgoing webhooks are both rendered here. Field names, order and
nullability are those of Lago's wire (contract sections 3 and 7.4).
"""
