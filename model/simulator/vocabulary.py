"""The words of simulated shoppers in eight languages: data only. How likely which are is in `model.simulator.wording`.

A word is one token to the model (`model.text`): languages without spaces have words of at most two characters here, but
for the categories' names. No word means two things in searches, nor in reviews: tests check it.
"""

from typing import Final

LANGUAGES: Final = ("en", "de", "fr", "es", "pl", "ja", "zh", "ar")
LANGUAGE_SHARES: Final = (0.26, 0.15, 0.12, 0.12, 0.09, 0.09, 0.10, 0.07)

CATEGORIES: Final = (
    """shoes boots jackets dresses shirts bags watches phones laptops headphones cameras books
    toys lamps chairs sofas carpets knives kettles tents bicycles perfume coffee chocolate""",
    """Schuhe Stiefel Jacken Kleider Hemden Taschen Uhren Handys Laptops Kopfhörer Kameras Bücher
    Spielzeug Lampen Stühle Sofas Teppiche Messer Wasserkocher Zelte Fahrräder Parfüm Kaffee Schokolade""",
    """chaussures bottes vestes robes chemises sacs montres téléphones ordinateurs casques caméras livres
    jouets lampes chaises canapés tapis couteaux bouilloires tentes vélos parfum café chocolat""",
    """zapatos botas chaquetas vestidos camisas bolsos relojes móviles portátiles auriculares cámaras libros
    juguetes lámparas sillas sofás alfombras cuchillos hervidores tiendas bicicletas perfume café chocolate""",
    """buty kozaki kurtki sukienki koszule torebki zegarki telefony laptopy słuchawki aparaty książki
    zabawki lampy krzesła kanapy dywany noże czajniki namioty rowery perfumy kawa czekolada""",
    """靴 ブーツ 上着 ドレス シャツ 鞄 時計 携帯 PC 耳機 カメラ 本
    玩具 照明 椅子 ソファ 絨毯 包丁 薬缶 テント 自転車 香水 珈琲 チョコ""",
    """鞋子 靴子 外套 裙子 衬衫 包包 手表 手机 电脑 耳机 相机 书籍
    玩偶 台灯 座椅 沙发 地毯 刀具 水壶 帐篷 单车 香氛 咖啡 巧克力""",
    """أحذية جزم سترات فساتين قمصان حقائب ساعات هواتف حواسيب سماعات كاميرات كتب
    ألعاب مصابيح كراسي أرائك سجاد سكاكين غلايات خيام دراجات عطور قهوة شوكولاتة""",
)
"""By language, in the same order."""

SEARCH_PURPOSES: Final = ("", "ideas", "trends", "review", "compare", "price", "buy", "order", "delivery")
SEARCH_DETAILS: Final = ("", "gift", "colour", "photos", "used", "size", "stock", "today", "coupon")
REVIEW_OPINIONS: Final = ("great", "lovely", "fine", "poor", "awful")
REVIEW_SUBJECTS: Final = ("", "quality", "size", "packaging")
REVIEW_OUTCOMES: Final = ("", "fast", "recommend", "late", "broken")

_IN_ENGLISH: Final = " ".join(
    (*SEARCH_PURPOSES, *SEARCH_DETAILS, *REVIEW_OPINIONS, *REVIEW_SUBJECTS[1:2], *REVIEW_SUBJECTS[3:], *REVIEW_OUTCOMES)
)
_WORDS: Final = (
    _IN_ENGLISH,
    """Ideen Trends Erfahrung Vergleich Preis kaufen bestellen Lieferung
    Geschenk Farbe Fotos gebraucht Größe Lager heute Gutschein
    großartig schön okay schlecht furchtbar Qualität Verpackung schnell empfehlenswert spät kaputt""",
    """idées tendances avis comparer prix acheter commander livraison
    cadeau couleur photos occasion taille disponible maintenant réduction
    génial joli correct mauvais horrible qualité emballage rapide recommandé tardif cassé""",
    """inspiración moda opiniones comparar precio comprar pedir envío
    regalo color imágenes usados talla existencias hoy cupón
    genial bonito normal malo horrible calidad embalaje rápido recomendable tarde roto""",
    """pomysły trendy opinie porównanie cena kupić zamówić dostawa
    prezent kolor zdjęcia używane rozmiar magazyn dziś kupon
    świetny piękny zwykły słaby okropny jakość opakowanie szybko polecam późno zepsuty""",
    """発想 流行 評判 比較 価格 購入 注文 配送
    贈物 色 写真 中古 寸法 在庫 今日 割引
    最高 素敵 普通 残念 最悪 品質 包装 早い 推薦 遅い 故障""",
    """灵感 潮流 测评 对比 价钱 购买 下单 包邮
    礼物 颜色 图片 二手 尺码 现货 今天 优惠
    很棒 喜欢 一般 较差 糟糕 质量 包裹 很快 推荐 太慢 坏了""",
    """أفكار صيحات تقييم مقارنة سعر شراء طلب توصيل
    هدية لون صور مستعمل مقاس متوفر اليوم قسيمة
    رائع جميل عادي سيئ فظيع جودة تغليف سريع أنصح متأخر مكسور""",
)
"""By language: the words of `_IN_ENGLISH`, in the same order."""


def category_names(language: int) -> list[str]:
    """Return the categories' names, in the catalogue's order."""
    return CATEGORIES[language].split()


def translations(language: int) -> dict[str, str]:
    """Return each English word's translation; nothing stays nothing."""
    return {"": ""} | dict(zip(_IN_ENGLISH.split(), _WORDS[language].split(), strict=True))
