"""NautilusTrader over the tape: trades -> 1-minute bars, RSI and EMA per symbol. Prints ticks a second of each run."""
import subprocess, sys, time
from decimal import Decimal

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.indicators import ExponentialMovingAverage, RelativeStrengthIndex
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import BarType, TradeTick
from nautilus_trader.model.enums import AccountType, AggressorSide, OmsType
from nautilus_trader.model.identifiers import TradeId, Venue
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

VENUE = "XNAS"


class Indicators(Strategy):
    def __init__(self, instruments):
        super().__init__()
        self.instruments = instruments
        self.bars = 0

    def on_start(self):
        for i in self.instruments:
            bar = BarType.from_str(f"{i.id}-1-MINUTE-LAST-INTERNAL")
            for indicator in (RelativeStrengthIndex(14), ExponentialMovingAverage(20)):
                self.register_indicator_for_bars(bar, indicator)
            self.subscribe_bars(bar)

    def on_bar(self, bar):
        self.bars += 1


def main():
    text = subprocess.run(["zstd", "-dcq", sys.argv[1]], capture_output=True, text=True).stdout.splitlines()[1:]
    instruments = {s: TestInstrumentProvider.equity(symbol=s, venue=VENUE) for s in ("AIG", "BAC", "IBM", "SPY")}
    ticks = []
    for n, line in enumerate(text):
        ts, symbol, price, size = line.split(",")[:4]
        i = instruments[symbol]
        ticks.append(TradeTick(i.id, i.make_price(float(price)), i.make_qty(int(size)), AggressorSide.NO_AGGRESSOR, TradeId(str(n)), int(ts), int(ts)))
    for _ in range(int(sys.argv[2])):
        engine = BacktestEngine(config=BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
        engine.add_venue(venue=Venue(VENUE), oms_type=OmsType.NETTING, account_type=AccountType.CASH, base_currency=USD, starting_balances=[Money(1_000_000, USD)])
        for i in instruments.values():
            engine.add_instrument(i)
        engine.add_data(ticks)
        engine.add_strategy(Indicators(list(instruments.values())))
        start = time.perf_counter()
        engine.run()
        print(len(ticks) / (time.perf_counter() - start), flush=True)
        engine.dispose()


main()
