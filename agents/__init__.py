"""Who decides: LangGraph graphs in Ray actors that carry a build from its spec to an accepted, exported model."""
