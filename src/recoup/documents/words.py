"""The words that stand on documents, by language.

What would surprise you: a language is here whole or not at all, and a document in any other is in
English, its dates and amounts included. Half a document in another language helps nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """One language's words; what stands in braces is put in."""

    invoice: str
    credit_note: str
    receipt: str
    self_billed: str  # as the VAT directive, article 226 (10a), has it
    seller: str
    buyer: str
    issued: str
    due: str
    purchase_order: str
    of_invoice: str
    legal_number: str
    tax_number: str
    description: str
    units: str
    unit_price: str
    amount: str
    net: str
    tax: str  # {name} {rate} {base}
    more_taxes: str  # {lines}
    more_lines: str  # {lines} {amount}
    total: str
    amount_due: str
    due_by: str  # {date}
    due_at_once: str
    payable: str  # self-billed: what the issuer owes
    automatic: str  # {date}
    by_buyer: str  # {number} {date}
    by_buyer_at_once: str  # {number}
    by_issuer: str
    nothing_due: str
    total_credited: str
    reason: str
    reasons: Mapping[str, str]
    credit: str
    refund: str
    offset: str
    amount_paid: str
    paid_on: str  # {date}
    paid: str
    method: str
    reference: str
    invoices: str
    invoice_total: str
    thanks: str
    void: str
    voided_on: str  # {date}
    page: str  # {page} {pages}


ENGLISH: Final = Words(
    invoice="Invoice",
    credit_note="Credit note",
    receipt="Receipt",
    self_billed="Self-billing",
    seller="From",
    buyer="Bill to",
    issued="Date of issue",
    due="Due date",
    purchase_order="Purchase order",
    of_invoice="For invoice",
    legal_number="Company no.",
    tax_number="Tax ID",
    description="Description",
    units="Quantity",
    unit_price="Unit price",
    amount="Amount",
    net="Subtotal",
    tax="{name}, {rate} of {base}",
    more_taxes="{lines} more taxes",
    more_lines="{lines} more lines, {amount} in all, are not shown here. The totals include them.",
    total="Total",
    amount_due="Amount due",
    due_by="by {date}",
    due_at_once="on receipt",
    payable="Amount payable to you",
    automatic="You need not do anything: the amount is collected with your payment method on file.",
    by_buyer="Please pay by {date}, and name {number} as the reference.",
    by_buyer_at_once="Please pay on receipt, and name {number} as the reference.",
    by_issuer="Issued by the customer on the supplier's behalf. The customer pays the amount.",
    nothing_due="Nothing is due.",
    total_credited="Total credited",
    reason="Reason",
    reasons={
        "duplicated_charge": "Charged twice",
        "product_unsatisfactory": "Product not satisfactory",
        "order_change": "Order changed",
        "order_cancellation": "Order cancelled",
        "fraudulent_charge": "Fraudulent charge",
        "other": "Other",
    },
    credit="Kept as credit for later invoices",
    refund="Refunded",
    offset="Taken off the amount due",
    amount_paid="Amount paid",
    paid_on="on {date}",
    paid="Paid",
    method="Payment method",
    reference="Reference",
    invoices="Invoice",
    invoice_total="Invoice total",
    thanks="Thank you for your payment.",
    void="VOID",
    voided_on="Voided on {date}. Nothing of it is owed any more.",
    page="Page {page} of {pages}",
)

GERMAN: Final = Words(
    invoice="Rechnung",
    credit_note="Rechnungskorrektur",  # "Gutschrift" is self-billing there
    receipt="Zahlungsbeleg",
    self_billed="Gutschrift",
    seller="Von",
    buyer="Rechnung an",
    issued="Rechnungsdatum",
    due="Fällig am",
    purchase_order="Bestellnummer",
    of_invoice="Zu Rechnung",
    legal_number="Registernr.",
    tax_number="USt-IdNr.",
    description="Beschreibung",
    units="Menge",
    unit_price="Einzelpreis",
    amount="Betrag",
    net="Zwischensumme",
    tax="{name}, {rate} von {base}",
    more_taxes="{lines} weitere Steuern",
    more_lines="{lines} weitere Positionen, zusammen {amount}, sind hier nicht aufgeführt."
    " In den Summen sind sie enthalten.",
    total="Gesamtbetrag",
    amount_due="Fälliger Betrag",
    due_by="bis {date}",
    due_at_once="sofort",
    payable="Auszahlungsbetrag",
    automatic="Sie müssen nichts tun: Der Betrag wird über Ihre hinterlegte Zahlungsart"
    " eingezogen.",
    by_buyer="Bitte zahlen Sie bis {date} unter Angabe von {number}.",
    by_buyer_at_once="Bitte zahlen Sie sofort unter Angabe von {number}.",
    by_issuer="Ausgestellt durch den Leistungsempfänger, der den Betrag auszahlt.",
    nothing_due="Es ist nichts zu zahlen.",
    total_credited="Gutgeschriebener Betrag",
    reason="Grund",
    reasons={
        "duplicated_charge": "Doppelt berechnet",
        "product_unsatisfactory": "Leistung nicht zufriedenstellend",
        "order_change": "Bestellung geändert",
        "order_cancellation": "Bestellung storniert",
        "fraudulent_charge": "Betrügerische Belastung",
        "other": "Sonstiges",
    },
    credit="Guthaben für spätere Rechnungen",
    refund="Erstattet",
    offset="Vom fälligen Betrag abgezogen",
    amount_paid="Gezahlter Betrag",
    paid_on="am {date}",
    paid="Gezahlt",
    method="Zahlungsart",
    reference="Verwendungszweck",
    invoices="Rechnung",
    invoice_total="Rechnungsbetrag",
    thanks="Vielen Dank für Ihre Zahlung.",
    void="STORNIERT",
    voided_on="Storniert am {date}. Aus diesem Beleg wird nichts mehr geschuldet.",
    page="Seite {page} von {pages}",
)

FRENCH: Final = Words(
    invoice="Facture",
    credit_note="Avoir",
    receipt="Reçu",
    self_billed="Autofacturation",
    seller="De",
    buyer="Facturé à",
    issued="Date d’émission",
    due="Échéance",
    purchase_order="Bon de commande",
    of_invoice="Pour la facture",
    legal_number="N° d’immatriculation",
    tax_number="N° TVA",
    description="Désignation",
    units="Quantité",
    unit_price="Prix unitaire",
    amount="Montant",
    net="Sous-total",
    tax="{name}, {rate} sur {base}",
    more_taxes="{lines} autres taxes",
    more_lines="{lines} autres lignes, {amount} au total, ne figurent pas ici."
    " Les totaux les comprennent.",
    total="Total",
    amount_due="Montant dû",
    due_by="avant le {date}",
    due_at_once="à réception",
    payable="Montant à vous verser",
    automatic="Vous n’avez rien à faire : le montant est prélevé par votre moyen de paiement"
    " enregistré.",
    by_buyer="Merci de payer avant le {date} en indiquant la référence {number}.",
    by_buyer_at_once="Merci de payer à réception en indiquant la référence {number}.",
    by_issuer="Établie par le client au nom du fournisseur. Le client verse le montant.",
    nothing_due="Rien n’est dû.",
    total_credited="Total crédité",
    reason="Motif",
    reasons={
        "duplicated_charge": "Facturé deux fois",
        "product_unsatisfactory": "Produit non satisfaisant",
        "order_change": "Commande modifiée",
        "order_cancellation": "Commande annulée",
        "fraudulent_charge": "Débit frauduleux",
        "other": "Autre",
    },
    credit="Conservé en avoir pour de prochaines factures",
    refund="Remboursé",
    offset="Déduit du montant dû",
    amount_paid="Montant payé",
    paid_on="le {date}",
    paid="Payé",
    method="Moyen de paiement",
    reference="Référence",
    invoices="Facture",
    invoice_total="Total de la facture",
    thanks="Merci de votre paiement.",
    void="ANNULÉ",
    voided_on="Annulé le {date}. Plus rien n’est dû à ce titre.",
    page="Page {page} sur {pages}",
)

SPANISH: Final = Words(
    invoice="Factura",
    credit_note="Factura rectificativa",
    receipt="Recibo",
    self_billed="Facturación por el destinatario",
    seller="De",
    buyer="Facturar a",
    issued="Fecha de emisión",
    due="Vencimiento",
    purchase_order="Orden de compra",
    of_invoice="De la factura",
    legal_number="N.º de registro",
    tax_number="NIF/IVA",
    description="Descripción",
    units="Cantidad",
    unit_price="Precio unitario",
    amount="Importe",
    net="Subtotal",
    tax="{name}, {rate} de {base}",
    more_taxes="{lines} impuestos más",
    more_lines="{lines} líneas más, {amount} en total, no figuran aquí. Los totales las incluyen.",
    total="Total",
    amount_due="Importe a pagar",
    due_by="antes del {date}",
    due_at_once="al recibirla",
    payable="Importe a su favor",
    automatic="No tiene que hacer nada: el importe se cobra con su medio de pago registrado.",
    by_buyer="Pague antes del {date} e indique la referencia {number}.",
    by_buyer_at_once="Pague al recibirla e indique la referencia {number}.",
    by_issuer="Emitida por el cliente en nombre del proveedor. El cliente abona el importe.",
    nothing_due="No hay nada que pagar.",
    total_credited="Total abonado",
    reason="Motivo",
    reasons={
        "duplicated_charge": "Cobrado dos veces",
        "product_unsatisfactory": "Producto no satisfactorio",
        "order_change": "Pedido modificado",
        "order_cancellation": "Pedido anulado",
        "fraudulent_charge": "Cargo fraudulento",
        "other": "Otro",
    },
    credit="Saldo para próximas facturas",
    refund="Reembolsado",
    offset="Descontado del importe a pagar",
    amount_paid="Importe pagado",
    paid_on="el {date}",
    paid="Pagado",
    method="Medio de pago",
    reference="Referencia",
    invoices="Factura",
    invoice_total="Total de la factura",
    thanks="Gracias por su pago.",
    void="ANULADO",
    voided_on="Anulado el {date}. Ya no se debe nada por este concepto.",
    page="Página {page} de {pages}",
)

ITALIAN: Final = Words(
    invoice="Fattura",
    credit_note="Nota di credito",
    receipt="Ricevuta",
    self_billed="Autofatturazione",
    seller="Da",
    buyer="Fatturato a",
    issued="Data di emissione",
    due="Scadenza",
    purchase_order="Ordine d’acquisto",
    of_invoice="Per la fattura",
    legal_number="N. registro",
    tax_number="P. IVA",
    description="Descrizione",
    units="Quantità",
    unit_price="Prezzo unitario",
    amount="Importo",
    net="Imponibile",
    tax="{name}, {rate} su {base}",
    more_taxes="altre {lines} imposte",
    more_lines="Altre {lines} righe, in tutto {amount}, non sono riportate qui."
    " I totali le comprendono.",
    total="Totale",
    amount_due="Importo dovuto",
    due_by="entro il {date}",
    due_at_once="al ricevimento",
    payable="Importo a suo favore",
    automatic="Non deve fare nulla: l’importo viene addebitato sul metodo di pagamento registrato.",
    by_buyer="Si prega di pagare entro il {date} indicando {number}.",
    by_buyer_at_once="Si prega di pagare al ricevimento indicando {number}.",
    by_issuer="Emessa dal cliente per conto del fornitore. Il cliente versa l’importo.",
    nothing_due="Non è dovuto nulla.",
    total_credited="Totale accreditato",
    reason="Motivo",
    reasons={
        "duplicated_charge": "Addebitato due volte",
        "product_unsatisfactory": "Prodotto non soddisfacente",
        "order_change": "Ordine modificato",
        "order_cancellation": "Ordine annullato",
        "fraudulent_charge": "Addebito fraudolento",
        "other": "Altro",
    },
    credit="Credito per fatture future",
    refund="Rimborsato",
    offset="Detratto dall’importo dovuto",
    amount_paid="Importo pagato",
    paid_on="il {date}",
    paid="Pagato",
    method="Metodo di pagamento",
    reference="Riferimento",
    invoices="Fattura",
    invoice_total="Totale fattura",
    thanks="Grazie per il pagamento.",
    void="ANNULLATO",
    voided_on="Annullato il {date}. Non è più dovuto nulla.",
    page="Pagina {page} di {pages}",
)

DUTCH: Final = Words(
    invoice="Factuur",
    credit_note="Creditnota",
    receipt="Betalingsbewijs",
    self_billed="Factuur uitgereikt door afnemer",
    seller="Van",
    buyer="Factuur aan",
    issued="Factuurdatum",
    due="Vervaldatum",
    purchase_order="Inkooporder",
    of_invoice="Bij factuur",
    legal_number="KvK-nummer",
    tax_number="Btw-nummer",
    description="Omschrijving",
    units="Aantal",
    unit_price="Stukprijs",
    amount="Bedrag",
    net="Subtotaal",
    tax="{name}, {rate} van {base}",
    more_taxes="nog {lines} belastingen",
    more_lines="Nog {lines} regels, samen {amount}, staan hier niet."
    " In de totalen zijn ze meegeteld.",
    total="Totaal",
    amount_due="Te betalen",
    due_by="vóór {date}",
    due_at_once="bij ontvangst",
    payable="Aan u te betalen",
    automatic="U hoeft niets te doen: het bedrag wordt met uw opgeslagen betaalmethode geïnd.",
    by_buyer="Betaal vóór {date} onder vermelding van {number}.",
    by_buyer_at_once="Betaal bij ontvangst onder vermelding van {number}.",
    by_issuer="Uitgereikt door de afnemer namens de leverancier. De afnemer betaalt het bedrag.",
    nothing_due="Er hoeft niets te worden betaald.",
    total_credited="Totaal gecrediteerd",
    reason="Reden",
    reasons={
        "duplicated_charge": "Dubbel in rekening gebracht",
        "product_unsatisfactory": "Product niet naar tevredenheid",
        "order_change": "Bestelling gewijzigd",
        "order_cancellation": "Bestelling geannuleerd",
        "fraudulent_charge": "Frauduleuze afschrijving",
        "other": "Anders",
    },
    credit="Tegoed voor latere facturen",
    refund="Terugbetaald",
    offset="Verrekend met het te betalen bedrag",
    amount_paid="Betaald bedrag",
    paid_on="op {date}",
    paid="Betaald",
    method="Betaalmethode",
    reference="Kenmerk",
    invoices="Factuur",
    invoice_total="Factuurbedrag",
    thanks="Bedankt voor uw betaling.",
    void="VERVALLEN",
    voided_on="Vervallen op {date}. Er is niets meer verschuldigd.",
    page="Pagina {page} van {pages}",
)

PORTUGUESE: Final = Words(
    invoice="Fatura",
    credit_note="Nota de crédito",
    receipt="Recibo",
    self_billed="Autofaturação",
    seller="De",
    buyer="Faturar a",
    issued="Data de emissão",
    due="Vencimento",
    purchase_order="Ordem de compra",
    of_invoice="Da fatura",
    legal_number="N.º de registo",
    tax_number="N.º fiscal",
    description="Descrição",
    units="Quantidade",
    unit_price="Preço unitário",
    amount="Valor",
    net="Subtotal",
    tax="{name}, {rate} de {base}",
    more_taxes="mais {lines} impostos",
    more_lines="Mais {lines} linhas, {amount} no total, não constam aqui. Os totais incluem-nas.",
    total="Total",
    amount_due="Valor a pagar",
    due_by="até {date}",
    due_at_once="na receção",
    payable="Valor a receber",
    automatic="Não precisa de fazer nada: o valor é cobrado pelo método de pagamento registado.",
    by_buyer="Pague até {date} e indique a referência {number}.",
    by_buyer_at_once="Pague na receção e indique a referência {number}.",
    by_issuer="Emitida pelo cliente em nome do fornecedor. O cliente paga o valor.",
    nothing_due="Nada a pagar.",
    total_credited="Total creditado",
    reason="Motivo",
    reasons={
        "duplicated_charge": "Cobrado duas vezes",
        "product_unsatisfactory": "Produto não satisfatório",
        "order_change": "Encomenda alterada",
        "order_cancellation": "Encomenda cancelada",
        "fraudulent_charge": "Cobrança fraudulenta",
        "other": "Outro",
    },
    credit="Crédito para faturas futuras",
    refund="Reembolsado",
    offset="Deduzido do valor a pagar",
    amount_paid="Valor pago",
    paid_on="em {date}",
    paid="Pago",
    method="Método de pagamento",
    reference="Referência",
    invoices="Fatura",
    invoice_total="Total da fatura",
    thanks="Obrigado pelo pagamento.",
    void="ANULADO",
    voided_on="Anulado em {date}. Já nada é devido.",
    page="Página {page} de {pages}",
)

WORDS: Final[Mapping[str, Words]] = {
    "de": GERMAN,
    "en": ENGLISH,
    "es": SPANISH,
    "fr": FRENCH,
    "it": ITALIAN,
    "nl": DUTCH,
    "pt": PORTUGUESE,
}
