"""What Streamlit runs for every reader and every change.

It stands in a folder of its own because Streamlit puts the script's folder first on the import path, where
`dashboard/` would hide packages of the same names as its modules.
"""

from dashboard.app import show

show()
