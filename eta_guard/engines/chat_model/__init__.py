"""Any chat model of LangChain, asked for whole answers."""
