"""All effects: carrying out a plan, watching it, undoing it. Its only result is the record it leaves."""
