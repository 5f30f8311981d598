"""The sections of the report, each a function of evidence and judgement; None when there is nothing to tell."""
