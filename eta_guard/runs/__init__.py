"""How a run stands inside LangChain and LangGraph: its calls, streams and traces."""
