"""How long an import takes on the machine at hand, beside what one would use instead; and what is learnt from it."""
