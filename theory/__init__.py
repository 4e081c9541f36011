"""Ground floor, what is claimed: definitions, propositions, closed forms; reads and simulates nothing."""
