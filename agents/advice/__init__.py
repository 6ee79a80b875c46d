"""Who proposes what a rejected iteration changes: rules, or a model that is asked; bounds hold for both."""
