"""Shopify's export of orders: a row a line item, of which the first speaks for the order.

https://help.shopify.com/en/manual/fulfillment/managing-orders/exporting-orders
"""

from typing import Final

from model.formats.mapping import definition_of, format_of

FORMAT: Final = format_of(
    definition_of(
        {
            "fields": {
                "user_id": ["Customer ID", "Email", "Phone", "Billing Phone"],
                "ts": ["Created at", "Paid at"],
                "order_id": ["Name", "Id"],
                "item_id": ["Lineitem sku", "Lineitem name"],
                "price": "Lineitem price",
                "quantity": "Lineitem quantity",
                "context": {
                    "order_total": "Total",
                    "currency": "Currency",
                    "country": ["Shipping Country", "Billing Country"],
                    "channel": "Source",
                    "brand": "Vendor",
                },
            },
            "types": {"*": "purchase"},
        }
    )
)
