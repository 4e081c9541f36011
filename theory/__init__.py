"""Ground floor: what is claimed. Definitions, propositions, closed forms; reads nothing, simulates nothing."""
