"""The pages that analysts open: Streamlit over the views in ClickHouse, never over the table of scores."""
